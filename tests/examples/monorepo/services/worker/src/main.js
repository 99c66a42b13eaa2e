'use strict';

console.log(`worked ${require('@example/math').sum(3, 4)} times`);
