// Finds the real reason of a 403. COS returns AccessDenied for most of them and puts the reason into the message;
// only without a reason is a missing permission likely.

/** Reasons by their keywords in English and Chinese (COS documentation, product/436/40105 and 436/7730). */
const REASONS: readonly (readonly [words: RegExp, hint: string])[] = [
  [
    /arrears|overdue|in ?debt|owe[ds]?\b|insufficient balance|unpaid|欠费/i,
    'The account that owns the bucket owes money: pay in the Billing Center of Tencent Cloud. No permission helps until then; nothing is acknowledged meanwhile.',
  ],
  [
    /froz|suspend|isolat|disabled|封禁|冻结|停用|real-?name|not activated/i,
    'The bucket, or the account that owns it, is blocked at Tencent Cloud: look at its messages and at the COS console, or ask Tencent Cloud. No permission helps until then.',
  ],
  [
    /referer|hotlink|防盗链/i,
    "The bucket's hotlink protection refuses requests without a Referer: allow an empty Referer in the COS console (Security Management), or switch it off.",
  ],
  [
    /\bkms\b|cmk|customer master key/i,
    "It is about the KMS key, not about COS: check that the key of COS_SSE_KMS_KEY_ID is enabled and in the bucket's region, and let COS and these credentials use it (kms:GenerateDataKey, kms:Decrypt).",
  ],
  [
    /retention|object ?lock|\bworm\b|locked|保留/i,
    "The object is locked by the bucket's object lock or retention: it cannot be replaced or removed before its time is over. Choose another COS_PREFIX, or wait.",
  ],
  [
    /\bvpc\b|\bip\b|ip address|source address|白名单|黑名单|network/i,
    "A condition on where requests come from refuses this one: look for qcs:ip and vpc:requester_vpc in the bucket's policy, in the policy of these credentials, and in that of the VPC endpoint, and let this place through.",
  ],
  [
    /anonymous|unsigned|匿名/i,
    'The request arrived without its signature: something on the way (COS_ENDPOINT, a proxy) takes the Authorization header away.',
  ],
  [
    /polic(?:y|ies)|explicit(?:ly)? den|\bacl\b|策略/i,
    "A policy refuses it, and a refusal goes before every permission: look for a deny in the bucket's policy and in those of these credentials.",
  ],
];

/** The fields of a failure that show why it was refused. */
interface Denial {
  readonly code: string;
  readonly message: string;
}

/** The hint for a known reason; `undefined` if COS gives none, or another one. */
export function deniedHint({ code, message }: Denial): string | undefined {
  if (/expired/i.test(message)) {
    return "The signature's time is over: the clock of this machine is wrong, or temporary keys have expired. Set the clock, or new keys.";
  }
  return REASONS.find(([words]) => words.test(`${code} ${message}`))?.[1];
}

/** Whether COS gives a reason. */
export const hasReason = ({ code, message }: Denial): boolean =>
  code !== '' &&
  message !== code &&
  !/^(?:access ?(?:is )?(?:denied|forbidden)|forbidden)?[.!]?$/i.test(message.trim());
