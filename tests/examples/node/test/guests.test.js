'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { Guests } = require('../guests');

test('the second visit is counted', () => {
  const guests = new Guests();
  assert.strictEqual(guests.greet('Ada'), 'Welcome, Ada');
  assert.strictEqual(guests.greet('Ada'), 'Welcome back, Ada (2)');
  assert.deepStrictEqual(guests.list(), ['Ada']);
});
