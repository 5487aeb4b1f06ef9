// Loads the report's scripts as a page does, one after the other, without a page.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "reports");

export function load(...names) {
  const context = vm.createContext({ URLSearchParams });
  for (const name of names) vm.runInContext(readFileSync(join(folder, name), "utf8"), context, name);
  return context.Dpg;
}

// Plain data of this realm, so that deepEqual does not mind where it was made.
export const plain = (value) => JSON.parse(JSON.stringify(value));
