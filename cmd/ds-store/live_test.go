package main

import (
	"slices"
	"testing"
)

func TestKeysThatCameTogetherAreTakenApart(t *testing.T) {
	for sent, want := range map[string][]string{
		"": nil, "q": {"q"}, "bi": {"b", "i"}, "\x1b": {"\x1b"}, "\x1b[A": {"\x1b[A"}, "b\x1b[B\x1b[Ai": {"b", "\x1b[B", "\x1b[A", "i"},
		"\x1b[5~\x1bOBq": {"\x1b[5~", "\x1bOB", "q"}, "\x1b\x1b[1;5A": {"\x1b", "\x1b[1;5A"}, "\x1b[": {"\x1b["}, "\x1bO": {"\x1bO"}, "\xff": {"\xff"},
	} {
		if got := split(sent); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}
