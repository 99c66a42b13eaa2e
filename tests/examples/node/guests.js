'use strict';

// guests keeps names in the order of their first visit, and how often they came.
class Guests {
  #visits = new Map();

  greet(name) {
    const visits = (this.#visits.get(name) ?? 0) + 1;
    this.#visits.set(name, visits);
    return visits === 1 ? `Welcome, ${name}` : `Welcome back, ${name} (${visits})`;
  }

  list() {
    return [...this.#visits.keys()];
  }
}

module.exports = { Guests };
