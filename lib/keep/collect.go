package keep

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/flock"
	"docksmith/lib/store"
)

// Result is what a collection did.
type Result struct {
	Victims []Victim
	Bytes   int64 // disk space of all of them
	// Left is what counts for the cap afterwards. Over is by how much it is above
	// the cap, because of what Held and Tagged take: what is in use, and what only
	// names keep.
	Left, Over, Held, Tagged int64
}

// rounds is how often a collection looks again, where others were at work
// meanwhile.
const rounds = 4

// Collect removes what nothing needs, and then, within the policy's limits, what
// can be had again. Collections take turns; everybody else goes on working. One
// that is killed leaves work for the next, and nothing to repair.
func Collect(ctx context.Context, s *store.Store, p Policy) (res Result, err error) {
	turn, err := flock.Open(ctx, filepath.Join(s.Root(), "state", "collect.lock"), flock.Exclusive)
	if err != nil {
		return res, err
	}
	defer turn.Close()
	if err := sweep(ctx, s, p, &res); err != nil || !p.Limited() {
		return res, err
	}
	for n := 0; n < rounds; n++ {
		done, err := limit(ctx, s, p, &res)
		if err != nil || done {
			return res, err
		}
	}
	return res, nil
}

// Under brings everything under a cap. Where it is already, it only looks.
func Under(ctx context.Context, s *store.Store, maxBytes int64) (Result, error) {
	inv, err := take(ctx, s, false)
	if err != nil || inv.Bytes() <= maxBytes {
		return Result{}, err
	}
	return Collect(ctx, s, Policy{Capped: true, MaxBytes: maxBytes, Grace: time.Hour})
}

// Excess says why a cap is not met; nil if it is, or if nothing is left but what
// the store keeps its books with. size writes a number of bytes.
func (res Result) Excess(size func(int64) string) error {
	if res.Over == 0 || res.Held+res.Tagged == 0 {
		return nil
	}
	return fmt.Errorf("%s are left, %s above the limit: images with a name need %s, and what is in use %s",
		size(res.Left), size(res.Over), size(res.Tagged), size(res.Held))
}

// sweep removes what nothing needs.
func sweep(ctx context.Context, s *store.Store, p Policy, res *Result) error {
	o := store.GCOptions{DryRun: p.DryRun, Grace: p.Grace}
	if !p.CacheToo {
		c, err := cache.Open(filepath.Join(s.Root(), "cache"))
		if err != nil {
			return err
		}
		if o.Keep, err = c.LayerRefs(); err != nil {
			return err
		}
	}
	got, err := s.GC(ctx, o)
	for _, d := range got.Images {
		res.took(&Item{Kind: KindImage, Name: d.String()}, WhyUnneeded)
	}
	for _, b := range got.Blobs {
		res.took(&Item{Kind: KindBlob, Name: b.Digest.String(), Bytes: b.Bytes, Used: b.Used}, WhyUnneeded)
	}
	for _, c := range got.Snapshots {
		res.took(&Item{Kind: KindSnapshot, Name: c.Digest.String(), Bytes: c.Bytes, Used: c.Used}, WhyUnneeded)
	}
	for _, l := range got.Temps {
		res.took(leftover(s.Root(), l), WhyUnneeded)
	}
	if err != nil {
		return err
	}
	return sweepLogs(s, p, res)
}

// leftover is an item for what a dead process left, or a failed command.
func leftover(root string, l store.Leftover) *Item {
	name, err := filepath.Rel(root, l.Path)
	if err != nil {
		name = l.Path
	}
	kind := KindLeftover
	if store.IsFailed(filepath.Base(name)) {
		kind = KindFailed
	}
	return &Item{Kind: kind, Name: name, Bytes: l.Bytes}
}

// sweepLogs removes the logs of old builds, as builds do.
func sweepLogs(s *store.Store, p Policy, res *Result) error {
	logs := buildlog.New(s.Root())
	kept, err := logs.Kept()
	if err != nil {
		return err
	}
	before := map[string]*Item{}
	for _, l := range kept {
		before[l.ID] = &Item{Kind: KindLog, Name: l.ID, Used: l.Used}
		before[l.ID].Bytes, _ = store.DiskUsage(l.Path) // what cannot be measured may still be removed
	}
	ids, err := logs.Prune(p.DryRun)
	for _, id := range ids {
		if i := before[id]; i != nil {
			res.took(i, WhyOldLog)
		}
	}
	return err
}

func (res *Result) took(i *Item, why string) {
	res.Victims = append(res.Victims, Victim{i, why})
	res.Bytes += i.Bytes
}

// limit brings everything within the limits, as far as that goes with what it
// sees now; false says that a second look may find more.
func limit(ctx context.Context, s *store.Store, p Policy, res *Result) (done bool, err error) {
	inv, err := take(ctx, s, p.TagsToo)
	if err != nil {
		return false, err
	}
	if p.DryRun {
		inv.pretend(res.Victims)
	}
	evicted := false
	for {
		victims := inv.plan(p, time.Now())
		if len(victims) == 0 {
			break
		}
		if p.DryRun {
			for _, v := range victims {
				inv.take(v, res)
			}
			break
		}
		if err := inv.evict(ctx, victims, res); err != nil {
			return false, err
		}
		evicted = true
	}
	inv.account(p, res)
	return p.DryRun || res.Over == 0 || !evicted, nil
}

// pretend makes what a dry run would have removed already gone.
func (inv *Inventory) pretend(victims []Victim) {
	would := map[string]bool{}
	for _, v := range victims {
		would[v.Kind+v.Name] = true
	}
	for _, i := range inv.Items {
		if would[i.Kind+i.Name] {
			inv.drop(i)
		}
	}
}

// take moves a victim from the inventory to the result.
func (inv *Inventory) take(v Victim, res *Result) {
	res.took(v.Item, v.Why)
	inv.drop(v.Item)
}

// drop makes an item count as gone.
func (inv *Inventory) drop(i *Item) {
	i.gone = true
	for _, h := range i.holds {
		h.holders--
	}
	for n := range inv.Areas {
		if inv.Areas[n].Area == i.Area() {
			inv.Areas[n].Bytes -= i.Bytes
		}
	}
}

// evict removes the victims, and marks those that it may not as held: then
// others are to go in their place.
func (inv *Inventory) evict(ctx context.Context, victims []Victim, res *Result) error {
	gone, err := inv.evictStored(ctx, victims)
	for _, v := range victims {
		if v.remove != nil && err == nil {
			if err = ctx.Err(); err == nil {
				gone[v.Item], err = v.remove()
			}
			if err != nil {
				err = fmt.Errorf("remove %s %s: %w", v.Kind, v.Name, err)
			}
		}
		if gone[v.Item] {
			inv.take(v, res)
		} else {
			v.Held = "taken into use just now"
		}
	}
	return err
}

// evictStored removes those that are the store's.
func (inv *Inventory) evictStored(ctx context.Context, victims []Victim) (map[*Item]bool, error) {
	var e store.Eviction
	items := map[string]*Item{}
	for _, v := range victims {
		items[v.Kind+v.Name] = v.Item
		switch v.Kind {
		case KindImage:
			e.Names = append(e.Names, v.entry)
			items[KindImage+entryKey(v.entry.Digest, v.entry.Annotations)] = v.Item
		case KindBlob:
			e.Blobs = append(e.Blobs, digest.Digest(v.Name))
		case KindSnapshot:
			e.Snapshots = append(e.Snapshots, digest.Digest(v.Name))
		case KindFailed:
			e.Failed = append(e.Failed, inv.path(v.Name))
			items[KindFailed+inv.path(v.Name)] = v.Item
		}
	}
	gone := map[*Item]bool{}
	if len(e.Names)+len(e.Blobs)+len(e.Snapshots)+len(e.Failed) == 0 {
		return gone, nil
	}
	done, err := inv.store.Evict(ctx, e)
	for _, n := range done.Names {
		gone[items[KindImage+entryKey(n.Digest, n.Annotations)]] = true
	}
	for _, d := range done.Blobs {
		gone[items[KindBlob+d.String()]] = true
	}
	for _, d := range done.Snapshots {
		gone[items[KindSnapshot+d.String()]] = true
	}
	for _, dir := range done.Failed {
		gone[items[KindFailed+dir]] = true
	}
	return gone, err
}

// entryKey tells the entries of an index apart.
func entryKey(d digest.Digest, annotations map[string]string) string {
	return fmt.Sprint(d, annotations)
}

// account says what is left and why.
func (inv *Inventory) account(p Policy, res *Result) {
	res.Left, res.Over, res.Held, res.Tagged = inv.Bytes(), 0, 0, 0
	if p.Capped {
		res.Over = max(0, res.Left-p.MaxBytes)
	}
	named := map[*Item]bool{}
	for _, i := range inv.Items {
		if i.Held == tagged {
			for _, h := range i.holds {
				named[h] = true
			}
		}
	}
	for _, i := range inv.Items {
		switch {
		case i.gone:
		case named[i]:
			res.Tagged += i.Bytes
		case i.Held != "" || i.holders > 0:
			res.Held += i.Bytes
		}
	}
}
