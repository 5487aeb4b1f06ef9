// Prints a page's data as its scripts read it: `node unpacked.mjs DATA.json`.
import { readFileSync } from "node:fs";
import { load } from "./load.mjs";

const Dpg = load("unpack.js");
process.stdout.write(JSON.stringify(Dpg.unpack(JSON.parse(readFileSync(process.argv[2], "utf8")))));
