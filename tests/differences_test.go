package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const differencesFile = "cases/DIFFERENCES.md"

// TestDifferencesAreListed holds the list that is for readers to what the cases
// say, which TestCasesPeers holds to what the peers do. UPDATE=1 writes it again.
func TestDifferencesAreListed(t *testing.T) {
	want := differencesPage(readCases(t))
	if update {
		if err := os.WriteFile(differencesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s is stale, UPDATE=1 go test ./tests -run TestDifferencesAreListed writes it (-want +got):\n%s", differencesFile, d)
	}
}

func differencesPage(cases []*buildCase) string {
	var b strings.Builder
	b.WriteString(`# Where other builders differ

What the cases in this directory list of other builders, made from them by
` + "`UPDATE=1 go test ./tests -run TestDifferencesAreListed`" + `. TestCasesPeers compares file trees and configs
of all cases where a builder is installed, and fails for a difference that is not here and for one that is here and does not show.

| builder | cases | alike | not |
|---|---|---|---|
`)
	for _, peer := range peerNames() {
		not := 0
		for _, c := range cases {
			if c.differs[peer] != "" {
				not++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", peer, len(cases), len(cases)-not, not)
	}
	b.WriteString("\n| case | builders | why their result is another |\n|---|---|---|\n")
	for _, c := range cases {
		for _, reason := range c.reasons() {
			var who []string
			for _, peer := range peerNames() {
				if c.differs[peer] == reason {
					who = append(who, peer)
				}
			}
			fmt.Fprintf(&b, "| [%s](%s.txtar) | %s | %s |\n", c.name, c.name, strings.Join(who, ", "), strings.ReplaceAll(reason, "|", `\|`))
		}
	}
	return b.String()
}

// reasons are those of all peers, each once.
func (c *buildCase) reasons() []string {
	var list []string
	for _, peer := range peerNames() {
		if r := c.differs[peer]; r != "" && !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	return list
}

// TestBehavioursHaveCases holds the cases to the list of sixty behaviours.
func TestBehavioursHaveCases(t *testing.T) {
	count := map[int]int{}
	for _, c := range readCases(t) {
		count[c.row]++
	}
	for row := 1; row <= 60; row++ {
		if count[row] == 0 {
			t.Errorf("behaviour %d has no case", row)
		}
		delete(count, row)
	}
	for row := range count {
		t.Errorf("there is no behaviour %d", row)
	}
}
