/** Unicode classes, in place of the package `uc.micro`: regular expressions know them by name now. */

export const P = /\p{P}/u;
export const S = /\p{S}/u;
