// Whole numbers for a person. `toLocaleString` gives the same, and loads the rules of all languages: 30 ms before the first one.

/** The number with its digits grouped by thousands: `1,234,567`. */
export const formatCount = (count: number): string =>
  Number.isInteger(count) && Math.abs(count) < 1e21
    ? String(count).replace(/\B(?=(?:\d{3})+$)/g, ',')
    : count.toLocaleString('en-US');
