package dockerfile

import (
	"fmt"
	"testing"
)

// TestNameTable compares a table with a map: few names and many, some twice, and
// after it was cleared.
func TestNameTable(t *testing.T) {
	var table nameTable
	for _, size := range []int{0, 1, fewNames, fewNames + 1, 2 * fewNames, 5000, 3} {
		table.clear()
		want := map[string]int{}
		for i := range 2 * size {
			name := fmt.Sprint("name", i*i%(size+1))
			place, known := want[name]
			if !known {
				place = len(want)
				want[name] = place
				if got := table.find(name); got != -1 {
					t.Fatalf("%d names: %s is at %d before it is added", size, name, got)
				}
			}
			if got := table.add(name); got != place {
				t.Fatalf("%d names: %s was put at %d, want %d", size, name, got, place)
			}
		}
		for name, place := range want {
			if got := table.find(name); got != place || table.list[got] != name {
				t.Errorf("%d names: %s is at %d, want %d", size, name, got, place)
			}
		}
		if len(table.list) != len(want) || len(table.slots) > 8*max(len(want), fewNames) {
			t.Errorf("%d names in a list of %d and %d slots", len(want), len(table.list), len(table.slots))
		}
	}
}
