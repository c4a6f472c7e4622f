/** What the build knows: the version, and of each part that is loaded by name a hash of its content. */
declare const NBSTREAM_BUILD: { version: string; engine: string; highlight: string; math: string };

/** The build puts the minified style sheet here. */
declare module "*.css" {
  const css: string;
  export default css;
}
