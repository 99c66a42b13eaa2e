"""Says it louder."""

import sys


def loud(text):
    return text.upper().rstrip(".!") + "!"


def main():
    print(loud(" ".join(sys.argv[1:])))
