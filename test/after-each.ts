// What is due after the test that runs. Files share a process, and with it the helpers that are loaded: a hook that a
// helper declares by itself would belong to the first file only. setup.ts does what is due, for each file.

const due: (() => unknown)[] = [];

/** Does this after the test, the last first. */
export function afterThisTest(work: () => unknown): void {
  due.push(work);
}

/** Does all that is due, whatever fails. @throws the first failure */
export async function endTest(): Promise<void> {
  const failures: unknown[] = [];
  for (const work of due.splice(0).reverse()) {
    try {
      await work();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
