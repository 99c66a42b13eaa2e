'use strict';

const express = require('express');
const { Guests } = require('./guests');

const app = express();
const guests = new Guests();

app.get('/healthz', (request, response) => response.send('ok\n'));
app.get('/guests', (request, response) => response.json(guests.list()));
app.get('/greet/:name', (request, response) => response.send(guests.greet(request.params.name) + '\n'));

const server = app.listen(process.env.PORT ?? 3000, () => {
  console.log(`listening on ${server.address().port} as ${process.getuid()}`);
});
process.on('SIGTERM', () => server.close(() => console.log('closed')));
