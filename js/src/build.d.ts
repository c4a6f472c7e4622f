/** Which build this is: the version, and a hash of all parts that are loaded by name. */
declare const NBSTREAM_BUILD: string;

/** The build puts the minified style sheet here. */
declare module "*.css" {
  const css: string;
  export default css;
}
