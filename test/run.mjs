// `npm test`, after its `pretest` has compiled src/ and test/ to .build/. What it does is told in test/runner/run.ts.
await import('../.build/test/runner/run.js')
