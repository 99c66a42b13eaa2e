// Command bench measures Docksmith against the peers that are installed and
// prints medians and ratios. It judges nothing: it exits 0 whatever the figures
// are, and names the peers that it did not find.
//
//	go run ./scripts/bench [-bin DIR] [-runs N] [-only SUBSTRING] [-debian TAR]
//
// Every comparison runs the commands in turn, A B C A B C ..., so that a drift
// of the machine's speed meets all of them. Work happens on a tmpfs where there
// is one: creating files on a disk measures the disk.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "where our programs are")
	runs := flag.Int("runs", 7, "counted runs of each command")
	only := flag.String("only", "", "measure only the rows whose name contains this")
	debian := flag.String("debian", "", "a root file system tar for the apply row; made with mmdebstrap if absent")
	flag.Parse()
	if err := bench(*bin, *runs, *only, *debian); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func bench(bin string, runs int, only, debian string) (err error) {
	b := &session{runs: runs, only: only, debian: debian}
	if b.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	if b.work, err = workDir(); err != nil {
		return err
	}
	defer func() {
		b.stopDaemon()
		// What peers leave mounted or closed; what stays after this, RemoveAll reports.
		_ = b.sh("grep -o ' " + b.work + "[^ ]*' /proc/self/mounts | sort -r | xargs -r -n 1 umount; chmod -R u+rwx " + b.work)
		if rerr := os.RemoveAll(b.work); err == nil {
			err = rerr
		}
	}()
	if err := b.prepare(); err != nil {
		return err
	}
	for _, row := range b.rows() {
		if !strings.Contains(row.name, b.only) {
			continue
		}
		if err := b.measure(row); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	for _, name := range b.missing {
		fmt.Printf("not measured: %s is not here or does not work here\n", name)
	}
	return nil
}

func workDir() (string, error) {
	parent := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	return os.MkdirTemp(parent, "docksmith-bench-")
}

// row is one comparison: the same work done by us and by each peer.
type row struct {
	name  string
	ours  command
	peers []command
}

// command is a peer's way to do the work. Undo runs before each run, untimed.
type command struct {
	name string
	argv []string
	dir  string
	undo func() error
	// divide spreads the time over so many steps after base was taken off.
	divide int
	base   []string
}

type sample struct {
	wall   time.Duration
	maxRSS int64 // bytes, of the largest process
}

func (b *session) measure(r row) error {
	all := append([]command{r.ours}, r.peers...)
	samples := make([][]sample, len(all))
	for i := range b.runs + 1 { // the first run warms up
		for c, cmd := range all {
			s, err := b.run(cmd)
			if err != nil {
				return fmt.Errorf("%s: %w", cmd.name, err)
			}
			if i > 0 {
				samples[c] = append(samples[c], s)
			}
		}
	}
	fmt.Printf("%s\n", r.name)
	ours := median(samples[0])
	for c, cmd := range all {
		m := median(samples[c])
		ratio := ""
		if c > 0 {
			ratio = fmt.Sprintf("ours is 1/%.1f", float64(m.wall)/float64(max(ours.wall, 1)))
		}
		fmt.Printf("  %-22s %10.1f ms  %6.1f MiB  %s\n", cmd.name, float64(m.wall.Microseconds())/1000, float64(m.maxRSS)/(1<<20), ratio)
	}
	return nil
}

func (b *session) run(c command) (sample, error) {
	s, err := b.once(c, c.argv)
	if err != nil || c.divide == 0 {
		return s, err
	}
	base, err := b.once(c, c.base)
	s.wall = max(0, s.wall-base.wall) / time.Duration(c.divide)
	return s, err
}

func (b *session) once(c command, argv []string) (sample, error) {
	if c.undo != nil {
		if err := c.undo(); err != nil {
			return sample{}, err
		}
	}
	program := argv[0]
	if own := filepath.Join(b.bin, program); exists(own) {
		program = own
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, b.env()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(start)}
	if err != nil {
		return s, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out.String())
	}
	s.maxRSS = maxRSS(cmd.ProcessState)
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func median(list []sample) sample {
	slices.SortFunc(list, func(x, y sample) int { return int(x.wall - y.wall) })
	m := list[len(list)/2]
	for _, s := range list {
		m.maxRSS = max(m.maxRSS, s.maxRSS)
	}
	return m
}
