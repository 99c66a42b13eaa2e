'use strict';

exports.title = (text) => text.replace(/\b\w/g, (letter) => letter.toUpperCase());
