package tests

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// frames shows the page on a phone and on a wide screen, and tells what became
// of it there. Being of the same address, its script may look into them; the page
// itself allows none.
const frames = `<!DOCTYPE html><link rel="icon" href="data:,">
<iframe id="phone" src="/" width="360" height="800"></iframe>
<iframe id="wide" src="/" width="1280" height="800"></iframe>
<pre id="told"></pre>
<script>
addEventListener("load", () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const doc = frame.contentDocument, root = doc.documentElement;
    doc.querySelectorAll("details").forEach(d => d.open = true);
    told[frame.id] = {
      Overflow: root.scrollWidth - root.clientWidth,
      Foreign: doc.querySelectorAll("script,img,iframe,link,a,b,object,embed,[onerror],[onload],[href],[src],[style]").length,
      Images: doc.querySelectorAll("#images tbody tr").length,
      Layers: doc.querySelectorAll("#layers svg rect").length,
      Bars: doc.querySelectorAll("#cache svg g").length,
      Steps: doc.querySelectorAll("#timeline .track").length,
      Labels: doc.querySelector("#images").textContent.includes('"><img src=x onerror=alert(1)>'),
      Styled: frame.contentWindow.getComputedStyle(doc.querySelector("section")).borderTopWidth,
      Columns: frame.contentWindow.getComputedStyle(doc.querySelector("main")).gridTemplateColumns.split(" ").length,
    };
  }
  document.getElementById("told").textContent = JSON.stringify(told);
});
</script>`

// toldOfFrame is what frames tells of one.
type toldOfFrame struct {
	Overflow, Foreign, Images, Layers, Bars, Steps, Columns int
	Labels                                                  bool
	Styled                                                  string
}

// TestDashboardInABrowser makes a store of 50 images, some with labels that would
// run a script or load a file, and looks at the page with chromium: nothing is
// asked for, nothing runs, nothing is cut off at the side.
func TestDashboardInABrowser(t *testing.T) {
	t.Parallel()
	browser := findBrowser()
	if browser == "" || testing.Short() {
		t.Skip("no chromium, or little time")
	}
	var mu sync.Mutex
	var asked []string
	var page []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		switch r.URL.Path {
		case "/":
			_, _ = w.Write(page)
		case "/frames":
			fmt.Fprint(w, frames)
		}
	}))
	defer s.Close()
	d := &dashboardStore{t, t.TempDir()}
	d.fill(s.URL)
	page = d.run(nil, "ds-store", "dashboard", "--html")

	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+filepath.Join(d.dir, "browser"), "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", s.URL+"/frames")
	cmd.Env = append(os.Environ(), "HOME="+d.dir)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	for line := range strings.Lines(talk.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the console has %s", line)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, path := range asked {
		if path != "/" && path != "/frames" {
			t.Errorf("the page asks for %s", path)
		}
	}
	text := regexp.MustCompile(`<pre id="told">(.*)</pre>`).FindSubmatch(dom)
	var told map[string]toldOfFrame
	if text == nil || json.Unmarshal(text[1], &told) != nil {
		t.Fatalf("nothing was told: %s\n%s", dom, talk.String())
	}
	want := toldOfFrame{Images: 50, Layers: 50, Bars: 3, Steps: 4, Labels: true, Styled: "1px", Columns: 1}
	if got := told["phone"]; got != want {
		t.Errorf("on a phone %+v, want %+v", got, want)
	}
	want.Columns = 2
	if got := told["wide"]; got != want {
		t.Errorf("on a wide screen %+v, want %+v", got, want)
	}
}

// findBrowser finds a chromium; "" without one.
func findBrowser() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// dashboardStore is a store for a test, made by the programs.
type dashboardStore struct {
	*testing.T
	dir string
}

func (d *dashboardStore) run(stdin []byte, program string, args ...string) []byte {
	d.Helper()
	cmd := exec.CommandContext(d.Context(), filepath.Join(top, "bin", program), args...)
	cmd.Env = append(os.Environ(), "DOCKSMITH_ROOT="+filepath.Join(d.dir, "store"), "SOURCE_DATE_EPOCH=")
	cmd.Dir, cmd.Stdin = d.dir, bytes.NewReader(stdin)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		d.Fatalf("%s %q: %v\n%s", program, args, err, talk.String())
	}
	return out
}

// layer adds a layer of one file.
func (d *dashboardStore) layer(name string, size int) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size)})
	_, _ = w.Write(bytes.Repeat([]byte(name[:1]), size))
	_ = w.Close()
	return strings.TrimSpace(string(d.run(b.Bytes(), "ds-store", "add-layer", "--compress=none")))
}

// fill makes 48 images on four stacks over one base, an image of every label that
// may do harm, and one that was built three times.
func (d *dashboardStore) fill(address string) {
	base := d.layer("base", 300_000)
	for stack := range 4 {
		on := d.layer(fmt.Sprintf("%c-stack", 'c'+stack), 50_000*(stack+1))
		for app := range 12 {
			args := []string{"commit", "--layer", base, "--layer", on, "-t", fmt.Sprintf("team%d/app-%d:v%d", stack, app, app%3)}
			if app > 0 {
				args = append(args, "--layer", d.layer(fmt.Sprintf("%c%d", 'h'+stack, app), 1000*app))
			}
			d.run(nil, "ds-store", args...)
		}
	}
	args := []string{"commit", "--layer", base, "-t", "evil/" + strings.Repeat("long-", 20) + "name:" + strings.Repeat("v", 100)}
	for i, text := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `<img src="` + address + `/evil">`, "</style><style>@import '" + address + "/evil'",
		"\x1b[2J\x1b]0;x\a", "\u202etxt.exe", strings.Repeat("x", 5000)} {
		args = append(args, "--label", fmt.Sprintf("l%d=%s", i, text))
	}
	d.run(nil, "ds-store", args...)
	context := filepath.Join(d.dir, "context")
	if err := os.Mkdir(context, 0o755); err != nil {
		d.Fatal(err)
	}
	file := "FROM scratch AS a\nCOPY f /<b>\nFROM scratch\nCOPY --from=a / /\n"
	for _, text := range []string{"one", "one", "two"} {
		for name, content := range map[string]string{"f": text, "Dockerfile": file} {
			if err := os.WriteFile(filepath.Join(context, name), []byte(content), 0o644); err != nil {
				d.Fatal(err)
			}
		}
		d.run(nil, "docksmith", "build", "-q", "-t", "built:v1", context)
	}
}
