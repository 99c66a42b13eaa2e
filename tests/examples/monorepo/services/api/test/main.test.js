'use strict';

const { execFileSync } = require('node:child_process');

const said = execFileSync(process.execPath, [require.resolve('@example/api')], { encoding: 'utf8' });
require('node:assert').strictEqual(said, 'The Answer Is 42\n');
