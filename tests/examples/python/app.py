"""A WSGI service that says louder what its query says."""

import argparse
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

from shout import loud


def application(environ, start_response):
    words = parse_qs(environ.get("QUERY_STRING", "")).get("say")
    if not words:
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"say what?\n"]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [loud(words[0]).encode() + b"\n"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    with make_server("", parser.parse_args().port, application) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
