package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Canary is a secret that was planted, or that is known, and must be nowhere.
type Canary struct {
	// Name is what findings call it. They never show the value.
	Name  string
	Value []byte
}

// minCanary is the length from which a find is hardly chance.
const minCanary = 4

// CanaryOf makes canaries of a secret: of the whole and, if it has several lines,
// of each line that is long enough to say something. Space around it does not count.
func CanaryOf(name string, secret []byte) ([]Canary, error) {
	whole := bytes.TrimSpace(secret)
	if len(whole) < minCanary {
		return nil, fmt.Errorf("canary %s: has %d bytes, and less than %d are found everywhere", name, len(whole), minCanary)
	}
	list := []Canary{{name, whole}}
	lines := bytes.Split(whole, []byte("\n"))
	for i, line := range lines {
		if line = bytes.TrimSpace(line); len(lines) > 1 && len(line) >= 2*minCanary {
			list = append(list, Canary{fmt.Sprintf("%s, line %d", name, i+1), line})
		}
	}
	return list, nil
}

// form is one spelling of a canary.
type form struct {
	canary int
	how    string
	word   []byte
}

// forms are all spellings of the canaries: those that are looked for as they
// are, and those whose encoders break lines.
func forms(canaries []Canary) (asIs, broken []form) {
	for i, c := range canaries {
		add := func(list *[]form, how string, words ...string) {
			for _, w := range words {
				same := func(f form) bool { return f.canary == i && string(f.word) == w }
				if len(w) >= minCanary && !slices.ContainsFunc(asIs, same) && !slices.ContainsFunc(broken, same) {
					*list = append(*list, form{i, how, []byte(w)})
				}
			}
		}
		v := string(c.Value)
		add(&asIs, "plain", v)
		quoted, err := json.Marshal(v)
		if err == nil {
			add(&asIs, "JSON", strings.Trim(string(quoted), `"`))
		}
		escaped := url.QueryEscape(v)
		spaced := strings.ReplaceAll(escaped, "+", "%20")
		every := strings.ToUpper(percent(v))
		add(&asIs, "URL-encoded", escaped, spaced, url.PathEscape(v), lowerPercent(escaped), lowerPercent(spaced), every, strings.ToLower(every))
		backwards := slices.Clone(c.Value)
		slices.Reverse(backwards)
		add(&asIs, "reversed", string(backwards))
		add(&broken, "hexadecimal", hex.EncodeToString(c.Value), strings.ToUpper(hex.EncodeToString(c.Value)))
		for shift := range 3 {
			add(&broken, "base64", base64Core(c.Value, shift, base64.RawStdEncoding), base64Core(c.Value, shift, base64.RawURLEncoding))
		}
	}
	return asIs, broken
}

// percent encodes every byte.
func percent(v string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// lowerPercent has the digits of escapes in lower case.
func lowerPercent(v string) string {
	b := []byte(v)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// base64Core are the digits of base64 that v alone decides when shift bytes,
// of any value, stand before it in its group of three.
func base64Core(v []byte, shift int, e *base64.Encoding) string {
	text := e.EncodeToString(append(make([]byte, shift), v...))
	first := (shift*8 + 5) / 6
	last := (shift + len(v)) * 8 / 6
	return text[first:last]
}
