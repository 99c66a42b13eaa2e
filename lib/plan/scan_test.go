package plan_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
)

// TestLikeJSON: what is JSON for encoding/json is JSON here, but for what two
// readers may understand differently and what no Dockerfile can say.
func TestLikeJSON(t *testing.T) {
	stricter := map[string]string{
		`"` + "\xff" + `"`:       "the string before byte 80 is not valid UTF-8",
		`"\u0000"`:               "the string before byte 85 has a NUL",
		`"File":"x",`:            `member "File" is not in the right case`,
		`"file":"x","file":"y",`: `member "file" is given twice`,
	}
	seen := 0
	for _, text := range tricky {
		_, err := plan.Decode(strings.NewReader(text))
		for part, want := range stricter {
			if strings.Contains(text, part) {
				if seen++; err == nil || err.Error() != "read plan: "+want {
					t.Errorf("%s: got %v, want %s", part, err, want)
				}
			}
		}
		if _, ok := decodeJSON([]byte(text)); (err == nil) != ok && !containsAny(text, stricter) {
			t.Errorf("%.200q: encoding/json says %v, but: %v", text, ok, err)
		}
	}
	if seen != len(stricter) {
		t.Errorf("%d stricter cases", seen)
	}
}

func containsAny(text string, parts map[string]string) bool {
	for part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// TestPieces: how the bytes come makes no difference.
func TestPieces(t *testing.T) {
	long := `{"schema":"docksmith.plan/1","file":"` + strings.Repeat(`x\u20ac\ud83d\ude00é`, 10_000) + `","stages":[{"index":0,"from":"a","line":1,"steps":[]}],"end":true}`
	for _, text := range append(tricky, strings.ReplaceAll(wanted, "\n", ""), long) {
		whole, err := outcome(strings.NewReader(text))
		for name, r := range map[string]io.Reader{
			"bytes":     iotest.OneByteReader(strings.NewReader(text)),
			"early EOF": iotest.DataErrReader(iotest.HalfReader(strings.NewReader(text))),
		} {
			again, aerr := outcome(r)
			if diff := cmp.Diff(whole, again); diff != "" || err != aerr {
				t.Errorf("%s of %.200q: %s, %s\n%s", name, text, err, aerr, diff)
			}
		}
	}
}

func outcome(r io.Reader) (text, failure string) {
	p, err := plan.Decode(r)
	if err != nil {
		return "", err.Error()
	}
	var b bytes.Buffer
	_ = plan.Encode(&b, p) // a buffer takes everything
	return b.String(), ""
}

func TestReadError(t *testing.T) {
	broken := errors.New("broken")
	_, err := plan.Decode(io.MultiReader(strings.NewReader(`{"schema":"docksmith.plan/1"`), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
