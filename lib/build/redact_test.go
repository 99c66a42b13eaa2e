package build

import (
	"bytes"
	"strings"
	"testing"
)

// TestRedact writes each text whole, byte by byte, and cut in two at every
// place: what comes out is the same.
func TestRedact(t *testing.T) {
	secrets := map[string][]byte{
		"password": []byte("hunter2hunter2\n"),
		"longer":   []byte("hunter2hunter2-and-more"),
		"short":    []byte("abc"),
		"key":      []byte("-----BEGIN KEY-----\nMIIEpAIBAAK\nab\nqrstuvwxyz\n-----END KEY-----\n"),
		"repeated": []byte("aaaaaaaab"),
		"blank":    []byte("        \n\n"),
	}
	for text, want := range map[string]string{
		"":                             "",
		"nothing here\n":               "nothing here\n",
		"hunter2hunter2":               "***",
		"is hunter2hunter2.\n":         "is ***.\n",
		"hunter2hunter2hunter2hunter2": "******",
		"hunter2hunter2-and-more":      "***",
		"hunter2hunter2-and-less":      "***-and-less",
		"hunter2hunter":                "hunter2hunter",
		"hunthunter2hunter2":           "hunt***",
		"abc":                          "abc",
		"aaaaaaaaaaaaaab":              "aaaaaa***",
		"MIIEpAIBAAK":                  "***",
		"x -----BEGIN KEY-----\nMIIEpAIBAAK\nab\nqrstuvwxyz\n-----END KEY-----\n": "x ***\n",
		"-----BEGIN KEY-----\r\nMIIEpAIBAAK\r\nab\r\n":                            "***\r\n***\r\nab\r\n",
		"        ": "        ",
	} {
		for cut := range len(text) + 1 {
			if got := redact(t, secrets, text[:cut], text[cut:]); got != want {
				t.Fatalf("%q cut at %d: %q, want %q", text, cut, got, want)
			}
		}
		if got := redact(t, secrets, strings.Split(text, "")...); got != want {
			t.Errorf("%q byte by byte: %q, want %q", text, got, want)
		}
	}
}

func redact(t *testing.T, secrets map[string][]byte, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	r := newRedactor(&out, secrets)
	for _, p := range parts {
		if n, err := r.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("write %q: %d, %v", p, n, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestRedactWaitsForNothingElse: a prompt is seen at once.
func TestRedactWaitsForNothingElse(t *testing.T) {
	var out bytes.Buffer
	r := newRedactor(&out, map[string][]byte{"s": []byte("swordfish")})
	for _, c := range []struct{ write, want string }{{"name? ", "name? "}, {"the sword", "name? the "}, {"s are", "name? the swords are"}} {
		if _, err := r.Write([]byte(c.write)); err != nil || out.String() != c.want {
			t.Errorf("after %q: %q, %v", c.write, out.String(), err)
		}
	}
}

// FuzzRedact compares with replacing in the whole text.
func FuzzRedact(f *testing.F) {
	f.Add("swordfish", "a swordfishswordfis h", uint8(3))
	f.Add("aaaaaaaa", "aaaaaaaaaaaaaaaaaaa", uint8(1))
	f.Fuzz(func(t *testing.T, secret, text string, step uint8) {
		secret = strings.TrimSpace(secret)
		if len(secret) < minSecret || strings.ContainsAny(secret, "\n") || step == 0 {
			return
		}
		var parts []string
		for rest := text; rest != ""; {
			n := min(int(step), len(rest))
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		if got, want := redact(t, map[string][]byte{"s": []byte(secret)}, parts...), strings.ReplaceAll(text, secret, redacted); got != want {
			t.Errorf("%q without %q: %q, want %q", text, secret, got, want)
		}
	})
}
