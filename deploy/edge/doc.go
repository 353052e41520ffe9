//go:build js || wasip1

// Command edge is the scorer of models/scoring as WebAssembly, for edges that run JavaScript or WASI: the same code, and
// the same refusal of a model that is damaged, newer, trained on other features, or does not score its own golden rows.
//
// GOOS=js exports two functions. dropliftOpen(Uint8Array) takes an artefact's file and returns its name, version and
// features, or {error}, and then the model before it stays. dropliftScore(Float64Array) takes a row in the order of
// these features, NaN for what is missing, and returns {raw, p} or {error}.
//
// GOOS=wasip1 reads lines: the artefact, then rows as JSON arrays with null for what is missing; it answers each row
// with {"raw":…,"p":…} or {"error":…}.
//
// make wasm builds both; node/score.mjs shows their use.
package main
