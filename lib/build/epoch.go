package build

import (
	"fmt"
	"strconv"
	"time"
)

// epochArg is the argument that says what time files and image carry.
const epochArg = "SOURCE_DATE_EPOCH"

// setEpoch finds the time of the build: the one of the options, else what the
// head of the file says, else 1970.
func (b *builder) setEpoch() error {
	if b.o.Epoch.IsZero() {
		seconds, err := b.headEpoch()
		if err != nil {
			return err
		}
		b.o.Epoch = time.Unix(seconds, 0)
	}
	b.o.Epoch = b.o.Epoch.UTC()
	return nil
}

// headEpoch is the default of an ARG before the first FROM; 0 without one. To
// BuildKit "context" is the time of a context that came from afar: one of ours
// never does.
func (b *builder) headEpoch() (int64, error) {
	line := 0
	for _, a := range b.plan.Args {
		if a.Name == epochArg && a.Default != nil {
			line = a.Line
		}
	}
	if line == 0 {
		return 0, nil
	}
	text, _ := b.globals.lookup(epochArg)
	if text == "" || text == "context" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, b.fault(line, fmt.Errorf("ARG %s: %q is not a number of seconds since 1970", epochArg, text))
	}
	return n, nil
}
