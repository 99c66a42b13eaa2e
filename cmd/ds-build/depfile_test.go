package main

import "testing"

func TestMakeName(t *testing.T) {
	tests := []struct{ name, want string }{
		{"src/main.c", "src/main.c"},
		{"a b", `a\ b`},
		{"a#b:c", `a\#b\:c`},
		{"$(x)", "$$?x?"},
		{"a*b?[c]", `a\*b\?\[c]`},
		{"a%b=c;d|e&f\tg\nh", "a?b?c?d?e?f?g?h"},
		{"~a", "./~a"},
		{`a\b`, `a\b`},
		{`a\ b`, `a\\\ b`},
		{`a\`, `a?`},
		{`a\\`, `a??`},
		{"ü", "ü"},
	}
	for _, tt := range tests {
		if got := makeName(tt.name); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.name, got, tt.want)
		}
	}
}
