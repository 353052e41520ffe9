// Gives the js scorer what it must refuse. usage: node refusals.mjs DIRECTORY GOOD BAD
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, good, bad] = process.argv.slice(2);
await import(pathToFileURL(resolve(directory, 'wasm_exec.js')));
const go = new Go();
const { instance } = await WebAssembly.instantiate(readFileSync(join(directory, 'js.wasm')), go.importObject);
go.run(instance);

const golden = JSON.parse(readFileSync(good)).golden[0];
const row = Float64Array.from(golden.features, (v) => v ?? NaN);
assert.match(dropliftScore(row).error, /no model is open/);
assert.match(dropliftOpen('text').error, /takes a Uint8Array/);
assert.match(dropliftOpen(readFileSync(bad)).error, /changed after it was sealed/);
assert.match(dropliftScore(row).error, /no model is open/);

const model = dropliftOpen(readFileSync(good));
assert.equal(model.features.length, row.length);
const { p } = dropliftScore(row);
assert.ok(Math.abs(p - golden.p) < 1e-9);
// A bad model does not take the good one's place.
assert.match(dropliftOpen(readFileSync(bad)).error, /changed after it was sealed/);
assert.equal(dropliftScore(row).p, p);
// A view into a larger buffer is read from where it begins.
const larger = new Float64Array(row.length + 3).fill(7);
larger.set(row, 3);
assert.equal(dropliftScore(larger.subarray(3)).p, p);

assert.match(dropliftScore(row.subarray(1)).error, /not a row/);
assert.match(dropliftScore([...row]).error, /not a row/);
assert.match(dropliftScore().error, /not a row/);
row[0] = Infinity;
assert.match(dropliftScore(row).error, /not a finite number/);
process.exit(0);
