package keep

import (
	"cmp"
	"container/heap"
	"strings"
	"time"
)

// Policy says what may stay.
type Policy struct {
	// Capped removes what was not used for longest until all that counts takes no
	// more than MaxBytes.
	Capped   bool
	MaxBytes int64
	// MaxAge removes what was not used for longer; 0 is no limit.
	MaxAge time.Duration
	// TagsToo lets images go that have a name. They go by the same rule, but never
	// one that is in use.
	TagsToo bool
	// Grace spares what nothing refers to, while it is younger, unless a limit
	// wants it: see store.GCOptions.
	Grace time.Duration
	// CacheToo removes, whatever the limits are, what only the cache needs.
	CacheToo bool
	// DryRun removes nothing.
	DryRun bool
}

// Limited tells whether there is a limit.
func (p Policy) Limited() bool { return p.Capped || p.MaxAge > 0 }

// Victim is an item that went, or would go.
type Victim struct {
	*Item
	Why string `json:"why"`
}

// Why something went.
const (
	WhyUnneeded = "nothing needs it"
	WhyOldLog   = "the log of an old build"
	WhyAge      = "not used for longer than the limit"
	WhyCap      = "over the cap, used least recently"
)

// plan picks what goes, in the order in which it does: what was used least
// recently first, and of what was used at the same time that first which is
// had again most easily.
func (inv *Inventory) plan(p Policy, now time.Time) []Victim {
	holders := map[*Item]int{}
	queue := &byUse{}
	for _, i := range inv.Items {
		if holders[i] = i.holders; i.free() {
			*queue = append(*queue, i)
		}
	}
	heap.Init(queue)
	total := inv.Bytes()
	var victims []Victim
	for queue.Len() > 0 {
		i := heap.Pop(queue).(*Item)
		why := WhyCap
		switch {
		case p.MaxAge > 0 && now.Sub(i.Used) > p.MaxAge:
			why = WhyAge
		case !p.Capped || total <= p.MaxBytes:
			return victims
		}
		victims = append(victims, Victim{i, why})
		total -= i.Bytes
		for _, h := range i.holds {
			if holders[h]--; holders[h] == 0 && h.Held == "" && !h.gone {
				heap.Push(queue, h)
			}
		}
	}
	return victims
}

// ease orders kinds by what it takes to have such a thing again.
var ease = map[string]int{
	KindLeftover: 0, KindSnapshot: 1, KindLog: 2, KindFailed: 3, KindIndex: 4,
	KindFetched: 5, KindMount: 6, KindBlob: 7, KindRecord: 8, KindImage: 9,
}

// byUse is a heap of items.
type byUse []*Item

func (q byUse) Len() int      { return len(q) }
func (q byUse) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q byUse) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(ease[a.Kind], ease[b.Kind]), strings.Compare(a.Name, b.Name)) < 0
}
func (q *byUse) Push(x any) { *q = append(*q, x.(*Item)) }
func (q *byUse) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
