package build

import (
	"strings"
	"testing"
	"time"
)

func TestEpochOfTheBuild(t *testing.T) {
	for _, test := range []struct {
		head    string
		given   time.Time
		want    int64
		problem string
	}{
		{head: "", want: 0},
		{head: "ARG SOURCE_DATE_EPOCH=1704067200\n", want: 1704067200},
		{head: "ARG Y=17\nARG SOURCE_DATE_EPOCH=${Y}04\nARG SOURCE_DATE_EPOCH\n", want: 1704},
		{head: "ARG SOURCE_DATE_EPOCH=5\nARG SOURCE_DATE_EPOCH=6\n", want: 6},
		{head: "ARG SOURCE_DATE_EPOCH\n", want: 0},
		{head: "ARG SOURCE_DATE_EPOCH=\n", want: 0},
		{head: "ARG SOURCE_DATE_EPOCH=context\n", want: 0},
		{head: "ARG SOURCE_DATE_EPOCH=1704067200\n", given: time.Unix(7, 0), want: 7},
		{head: "ARG SOURCE_DATE_EPOCH=junk\n", given: time.Unix(0, 0), want: 0},
		{head: "ARG A=1\nARG SOURCE_DATE_EPOCH=junk\n", problem: `Dockerfile:2: ARG SOURCE_DATE_EPOCH: "junk" is not`},
		{head: "ARG SOURCE_DATE_EPOCH=-1\n", problem: `Dockerfile:1: `},
	} {
		r, err := Build(t.Context(), parse(t, test.head+"FROM base\nENV A=b\n"), Options{
			Store: newTreeStore(t), Epoch: test.given,
		})
		switch {
		case test.problem != "":
			if err == nil || !strings.HasPrefix(err.Error(), test.problem) {
				t.Errorf("%q: error %v", test.head, err)
			}
		case err != nil:
			t.Errorf("%q: %v", test.head, err)
		case r.Image.Created.Unix() != test.want || r.Image.History[0].Created.Unix() != test.want:
			t.Errorf("%q: %v", test.head, r.Image.Created)
		}
	}
}
