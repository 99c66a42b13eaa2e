package plan

import (
	"bytes"
	"strings"
	"testing"
)

// TestLimit: what is written and what is read have the same limit, to the byte.
func TestLimit(t *testing.T) {
	whole := `{"schema":"docksmith.plan/1","escape":"\\","stages":[{"index":0,"from":"a","line":1,"steps":[]}],"end":true}` + "\n"
	size := int64(len(whole))
	p, err := decode(strings.NewReader(whole), size)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := encode(&b, p, size); err != nil || b.String() != whole {
		t.Errorf("%v, %s", err, b.String())
	}
	if _, err := decode(strings.NewReader(whole), size-1); err == nil || err.Error() != "more than 108 bytes" {
		t.Errorf("got %v", err)
	}
	if err := encode(&b, p, size-1); err == nil || err.Error() != "write plan: more than 108 bytes" {
		t.Errorf("got %v", err)
	}
}
