package plan

import (
	"strings"
	"testing"
)

func TestLimit(t *testing.T) {
	whole := `{"schema":"docksmith.plan/1","stages":[{"index":0,"from":"a","line":1,"steps":[]}],"end":true}`
	if _, err := read(strings.NewReader(whole), int64(len(whole))); err != nil {
		t.Error(err)
	}
	_, err := read(strings.NewReader(whole+"\n"), int64(len(whole)))
	if err == nil || err.Error() != "more than 94 bytes" {
		t.Errorf("%d: got %v", len(whole), err)
	}
}
