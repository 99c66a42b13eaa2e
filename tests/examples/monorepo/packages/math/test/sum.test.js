'use strict';

require('node:assert').strictEqual(require('..').sum(1, 2, 3), 6);
