'use strict';

require('node:assert').strictEqual(require('..').title('the answer'), 'The Answer');
