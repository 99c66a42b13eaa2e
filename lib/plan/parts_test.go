package plan_test

import (
	"errors"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// TestManySteps: a stage so long that several processors write it is written as
// encoding/json does, whatever is in it; and a reader that goes away ends it.
func TestManySteps(t *testing.T) {
	mixed := "FROM a\n" + strings.Repeat("RUN x\nCOPY <<E /\n\"\u2028\\\x01\nE\nONBUILD CMD [\"a\", \"b\"]\nENV "+strings.Repeat("long", 300)+"=\u00e9\n", 500)
	for name, src := range map[string]string{"mixed": mixed, "large": "FROM a\n" + strings.Repeat("RUN "+strings.Repeat("\x01", 2000)+"\n", 1100)} {
		f, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := plan.New(f)
		if got := encode(t, p); got != encodeJSON(t, p) {
			t.Errorf("%s: encoding/json writes it otherwise", name)
		}
		if err := plan.Encode(closed{}, p); !errors.Is(err, errClosed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

var errClosed = errors.New("closed")

// closed is a writer that takes nothing.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errClosed }
