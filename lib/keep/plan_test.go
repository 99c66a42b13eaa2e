package keep

import (
	"slices"
	"testing"
	"time"
)

// TestPlan: what goes first, and what in spite of all does not.
func TestPlan(t *testing.T) {
	now := time.Now()
	thing := func(kind, name string, hours int) *Item {
		return &Item{Kind: kind, Name: name, Bytes: 10, Used: now.Add(-time.Duration(hours) * time.Hour)}
	}
	build := func() *Inventory {
		image, named := thing(KindImage, "image", 50), thing(KindBlob, "named", 90)
		image.Bytes = 0
		image.hold(named)
		failed, below := thing(KindFailed, "failed", 20), thing(KindSnapshot, "below", 70)
		failed.hold(below)
		used := thing(KindMount, "used", 99)
		used.Held = "in use"
		return &Inventory{
			Areas: []Area{{Area: "blobs", Bytes: 80, Capped: true}, {Area: "volumes", Bytes: 1000}, {Area: "cache"}, {Area: "snapshots"}, {Area: "builds"}, {Area: "failed"}},
			Items: []*Item{
				thing(KindRecord, "record", 30), thing(KindBlob, "layer", 30), thing(KindSnapshot, "unpacked", 30),
				thing(KindLog, "log", 1), used, image, named, failed, below,
			},
		}
	}
	tests := []struct {
		name string
		p    Policy
		want []string
	}{
		{"no limit", Policy{}, nil},
		{"below the cap", Policy{Capped: true, MaxBytes: 80}, nil},
		{"one too many", Policy{Capped: true, MaxBytes: 79}, []string{"image", "named"}},
		{"of one time", Policy{Capped: true, MaxBytes: 45}, []string{"image", "named", "unpacked", "layer", "record"}},
		{"all that may", Policy{Capped: true}, []string{"image", "named", "unpacked", "layer", "record", "failed", "below", "log"}},
		{"by age", Policy{MaxAge: 25 * time.Hour}, []string{"image", "named", "unpacked", "layer", "record"}},
		{"by age what is below too", Policy{MaxAge: 15 * time.Hour}, []string{"image", "named", "unpacked", "layer", "record", "failed", "below"}},
		{"by both", Policy{Capped: true, MaxBytes: 35, MaxAge: 80 * time.Hour}, []string{"image", "named", "unpacked", "layer", "record", "failed"}},
	}
	for _, tt := range tests {
		var got []string
		for _, v := range build().plan(tt.p, now) {
			got = append(got, v.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	inv := build()
	inv.Items[5].Held = tagged
	inv.settle()
	if got, blobs := inv.Reclaimable(), inv.Areas[0].Reclaimable; got != 60 || blobs != 10 {
		t.Errorf("%d can be reclaimed, %d of it blobs; want all but what is in use or tagged, 60, and one layer", got, blobs)
	}
	if inv.Items[6].holders != 1 {
		t.Error("a plan changed what it planned on")
	}
}
