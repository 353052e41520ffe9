// Scores an artefact's golden rows with the scorer as WebAssembly, and says how far it is from what the artefact says.
//
//   node score.mjs js|wasip1 DIRECTORY ARTEFACT
//
// DIRECTORY holds js.wasm, wasip1.wasm and wasm_exec.js (make wasm makes bin/edge). One line of JSON a row, {raw, p}; the
// exit status is 1 when the artefact is refused or a row differs by more than 1e-6.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [flavour, directory, path] = process.argv.slice(2);
const file = readFileSync(path);
const module = await WebAssembly.compile(readFileSync(join(directory, `${flavour}.wasm`)));

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function withJS(rows) {
  await import(pathToFileURL(resolve(directory, 'wasm_exec.js')));
  const go = new Go();
  go.run(await WebAssembly.instantiate(module, go.importObject)); // returns when the program ends: never
  const model = dropliftOpen(new Uint8Array(file));
  if (model.error) fail(model.error);
  return rows().map((row) => dropliftScore(Float64Array.from(row, (v) => v ?? NaN)));
}

async function withWASI(rows) {
  const { WASI } = await import('node:wasi');
  const scratch = mkdtempSync(join(tmpdir(), 'droplift-edge-'));
  try {
    const [input, output] = [join(scratch, 'in'), join(scratch, 'out')];
    let golden = [];
    try {
      golden = rows();
    } catch {
      // Let the scorer say what is wrong with the file.
    }
    writeFileSync(input, [file.toString().trim(), ...golden.map((row) => JSON.stringify(row)), ''].join('\n'));
    const [stdin, stdout] = [openSync(input, 'r'), openSync(output, 'w')];
    const wasi = new WASI({ version: 'preview1', stdin, stdout, returnOnExit: true });
    const status = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
    [stdin, stdout].forEach(closeSync);
    if (status !== 0) fail(`the scorer ended with status ${status}`);
    return readFileSync(output, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const rows = () => JSON.parse(file).golden.map((row) => row.features);
const scores = await (flavour === 'js' ? withJS : withWASI)(rows);
let worst = 0;
JSON.parse(file).golden.forEach((row, i) => {
  if (scores[i].error) fail(`row ${i}: ${scores[i].error}`);
  worst = Math.max(worst, Math.abs(scores[i].raw - row.raw), Math.abs(scores[i].p - row.p));
  console.log(JSON.stringify(scores[i]));
});
console.error(`${scores.length} golden rows, largest difference ${worst}`);
process.exit(worst <= 1e-6 ? 0 : 1);
