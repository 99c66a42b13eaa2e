package dashboard

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/container"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// commit gives a store an image of layers of one file each.
func commit(t *testing.T, root, name string, files ...string) {
	t.Helper()
	s := must(store.Open(root))
	defer s.Close()
	var layers []oci.Layer
	cfg := oci.Image{}
	cfg.Config.Labels = map[string]string{"of": name}
	for _, f := range files {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: f, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		layers = append(layers, must(s.AddLayer(t.Context(), &b, store.LayerOptions{})))
		cfg.History = append(cfg.History, oci.History{CreatedBy: "COPY " + f}, oci.History{CreatedBy: "ENV a=b", EmptyLayer: true})
	}
	desc := must(s.WriteImage(t.Context(), cfg, layers, nil))
	if err := s.Tag(t.Context(), desc, must(oci.ParseRef(name))); err != nil {
		t.Fatal(err)
	}
}

func TestReaderReadsWhatIsThere(t *testing.T) {
	root := t.TempDir()
	r, now := NewReader(root), time.Now()
	m := must(r.Read(t.Context(), now))
	if len(m.Images)+len(m.Layers)+len(m.Tree)+len(m.Builds)+len(m.Containers) > 0 || m.Root != root || m.Time != now || m.Partial {
		t.Errorf("%+v", m)
	}
	commit(t, root, "one:v1", "base", "one")
	commit(t, root, "two:v1", "base")
	l := buildlog.New(root).Begin()
	l.Record(map[string]any{"type": "build", "time": now})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m = must(r.Read(t.Context(), now.Add(time.Second)))
	if len(m.Images) != 2 || len(m.Layers) != 2 || len(m.Tree) != 1 || len(m.Builds) != 1 {
		t.Fatalf("%+v", m)
	}
	one, base := m.Images[0], m.Layers[0]
	if one.Name != "one:v1" || one.ID == "" || one.Created.IsZero() || one.Size <= 0 || one.Labels["of"] != "one:v1" || len(one.Layers) != 2 || one.Layers[0] != base || one.Error != "" {
		t.Errorf("%+v", one)
	}
	if base.Images != 2 || base.By != "COPY base" || base.Size <= 0 || len(base.ID) != 12 || m.Layers[1].By != "COPY one" || m.Layers[1].Images != 1 {
		t.Errorf("%+v %+v", base, m.Layers[1])
	}
	// The disk is measured less often, the images are read when their index changed.
	if m.Disk[0].Bytes == must(NewReader(root).Read(t.Context(), now)).Disk[0].Bytes {
		t.Error("the disk was measured again")
	}
	again := must(r.Read(t.Context(), now.Add(time.Hour)))
	if &again.Images[0] != &m.Images[0] || again.Builds[0] != m.Builds[0] {
		t.Error("what did not change was read again")
	}
	if total, _ := again.diskTotal(); total <= 0 || again.Disk[0].Bytes < again.Disk[1].Bytes || again.Disk[0].Bytes == m.Disk[0].Bytes {
		t.Errorf("%+v", again.Disk)
	}
	for _, a := range again.Disk {
		var sum int64
		for i, p := range a.Parts {
			sum += p.Bytes
			if p.Bytes <= 0 || i > 0 && p.Bytes > a.Parts[i-1].Bytes || p.Text == "" || len(a.Parts) > maxParts+1 {
				t.Errorf("%s: %+v", a.Name, a.Parts)
			}
		}
		if sum != a.Bytes {
			t.Errorf("%s: the parts take %d of %d", a.Name, sum, a.Bytes)
		}
	}
}

// TestReaderTellsWhatCannotBeRead of one image, and reads the others.
func TestReaderTellsWhatCannotBeRead(t *testing.T) {
	root := t.TempDir()
	commit(t, root, "good:v1", "a")
	commit(t, root, "lost:v1", "b")
	s := must(store.Open(root))
	if err := os.Remove(s.BlobPath(must(s.Resolve("lost:v1")).Digest)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	m := must(NewReader(root).Read(t.Context(), time.Now()))
	if len(m.Images) != 2 || m.Images[0].Error != "" || m.Images[1].Error == "" || m.Images[1].Name != "lost:v1" || len(m.Tree) != 1 {
		t.Errorf("%+v", m.Images)
	}
	if _, err := NewReader(filepath.Join(root, "oci", "index.json")).Read(t.Context(), time.Now()); err == nil {
		t.Error("a file is no state directory")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewReader(root).Read(ctx, time.Now()); err == nil {
		t.Error("it cannot be stopped")
	}
}

func TestReaderFollowsContainers(t *testing.T) {
	root := t.TempDir()
	table := container.Open(filepath.Join(root, "run"))
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	process := must(container.Identify(cmd.Process.Pid))
	for i := range maxEnded + 3 {
		at := time.Unix(int64(1000+i), 0)
		must(table.Create(container.State{Status: container.Stopped, Finished: at, Exit: &container.Exit{Status: i}}))
	}
	up := must(table.Create(container.State{Status: container.Running, PID: process.PID, Process: process, Name: "up", Log: "log"}))
	log := must(container.OpenLog(up.Path("log")))
	if err := log.Copy(container.Stdout, bytes.NewReader([]byte("first\n  last line \n"))); err != nil {
		t.Fatal(err)
	}
	log.Close()
	r, now := NewReader(root), time.Now()
	m := must(r.Read(t.Context(), now))
	if len(m.Containers) != maxEnded+1 || !m.Runs() {
		t.Fatalf("%+v", m.Containers)
	}
	c := m.Containers[0]
	if c.Name != "up" || c.CPU >= 0 || c.Load.Memory <= 0 || c.Last != "last line" {
		t.Errorf("%+v", c)
	}
	if m.Containers[1].Exit.Status != maxEnded+2 || m.Containers[maxEnded].Exit.Status != 3 {
		t.Errorf("%+v", m.Containers)
	}
	for c.CPU <= 0 { // until it had its turn
		now = now.Add(time.Second)
		c = must(r.Read(t.Context(), now)).Containers[0]
		time.Sleep(time.Millisecond)
	}
}
