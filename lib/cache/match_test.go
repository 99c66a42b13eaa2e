package cache

import (
	"fmt"
	"strings"
	"testing"
)

func TestMatchSteps(t *testing.T) {
	tests := []struct{ name, past, now, want string }{
		{"the same", "0/1 RUN a|0/2 RUN b", "0/1 RUN a|0/2 RUN b", "0 1"},
		{"a line more", "0/1 RUN a|0/2 RUN b", "0/1 RUN a|0/2 RUN x|0/3 RUN b", "0 - 1"},
		{"a line less", "0/1 RUN a|0/2 RUN b", "0/1 RUN b", "1"},
		{"an instruction changed", "0/1 RUN a|0/2 RUN b", "0/1 RUN a|0/2 RUN c", "0 1"},
		{"it is of another kind", "0/1 RUN a|0/2 RUN b", "0/1 RUN a|0/2 COPY b c", "0 -"},
		{"another case", "0/1 run a", "0/1 RUN b", "0"},
		{"equal ones in order", "0/1 RUN a|0/2 RUN a", "0/1 RUN a|0/2 RUN a|0/3 RUN a", "0 1 -"},
		{"another stage's name", "0/1 RUN a|0/2 RUN b", "app/1 RUN a|app/2 RUN c", "0 -"},
		{"its own stage first", "a/1 RUN x|b/1 RUN x", "b/1 RUN x|a/1 RUN x", "1 0"},
		{"no past", "", "0/1 RUN a", "-"},
	}
	read := func(text string) (list []Step) {
		for line := range strings.SplitSeq(text, "|") {
			if id, text, ok := strings.Cut(line, " "); ok {
				list = append(list, Step{ID: id, Text: text})
			}
		}
		return list
	}
	for _, tt := range tests {
		var past []StepHistory
		for _, s := range read(tt.past) {
			past = append(past, StepHistory{Step: s.ID, Text: s.Text})
		}
		var got []string
		found := matchSteps(past, read(tt.now))
		for _, s := range read(tt.now) {
			if i, ok := found[s.ID]; ok {
				got = append(got, fmt.Sprint(i))
			} else {
				got = append(got, "-")
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
