'use strict';

const { sum } = require('@example/math');
const { title } = require('@example/text');

console.log(title(`the answer is ${sum(40, 2)}`));
