/** What the line with the policies of a program begins with. */
export const mark = "policies: "
