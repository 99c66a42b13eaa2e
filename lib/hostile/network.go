package hostile

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// What must not get to another server than the one it is for.
const (
	login    = "somebody"
	password = "password-of-the-first-server"
	cookie   = "cookie-of-the-first-server"
)

// leaked tells what of the first server's secrets a request to another has.
func leaked(request string) string {
	basic := base64.StdEncoding.EncodeToString([]byte(login + ":" + password))
	for _, secret := range []string{basic, password, cookie} {
		if strings.Contains(request, secret) {
			line, _, _ := strings.Cut(request, "\r\n")
			return "another server got a secret of the first one with " + strings.TrimSpace(line)
		}
	}
	return ""
}

// network are two servers, the second on another host or another port.
type network struct{ first, second *server }

// during runs f while the servers answer.
func during(second [4]byte, answer func(n *network, path string) string, f func(n *network) error) (err error) {
	n := &network{}
	if n.first, err = listen([4]byte{127, 0, 0, 1}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.first.close()) }()
	if n.second, err = listen(second); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.second.close()) }()
	n.first.serve(func(path string) string { return answer(n, path) })
	n.second.serve(func(string) string { return response("200 OK", "from the second server\n") })
	return f(n)
}

// fetches are attacks on programs that fetch a file: by a server that leads them on.
func fetches() []Fixture {
	otherHost, otherPort := [4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1}
	const secret = login + ":" + password + "@"
	fetch := func(name, user, path string, second [4]byte, answer func(n *network, path string) string) Fixture {
		return Fixture{Row: 18, Name: "fetch/" + name, kind: ofFetch, play: func(t *trial) error {
			return during(second, answer, func(n *network) error {
				t.url = "http://" + user + n.first.host + path
				if err := t.give(t.o.Fetch, nil); err != nil {
					return err
				}
				for _, request := range n.second.requests() {
					if why := leaked(request); why != "" {
						t.wrong = why
					}
				}
				return nil
			})
		}, judge: wrong}
	}
	to := func(status, path string, headers ...string) func(n *network, _ string) string {
		return func(n *network, _ string) string {
			return response(status, "", append(headers, "Location: http://"+n.second.host+path)...)
		}
	}
	repository := func(n *network, path string) string { return to("301 Moved Permanently", path)(n, path) }
	challenge := func(kind string) func(n *network, _ string) string {
		return func(n *network, _ string) string {
			return response("401 Unauthorized", "", "WWW-Authenticate: "+kind+` realm="http://`+n.second.host+`/token",service="first",scope="repository:x:pull"`)
		}
	}
	helper := fetch("helper", secret, "/file", otherHost, func(*network, string) string { return response("200 OK", "x") })
	plain := helper.play
	helper.play = func(t *trial) error { return errors.Join(plantHelper(t), plain(t)) }
	return []Fixture{
		fetch("redirect-to-other-host", secret, "/file", otherHost, to("302 Found", "/file")),
		fetch("redirect-to-other-port", secret, "/file", otherPort, to("302 Found", "/file")),
		fetch("redirect-307", secret, "/file", otherHost, to("307 Temporary Redirect", "/file")),
		fetch("redirect-of-repository", secret, "/x.git", otherHost, repository),
		fetch("redirect-of-repository-to-other-port", secret, "/x.git", otherPort, repository),
		fetch("cookie", "", "/file", otherHost, to("302 Found", "/file", "Set-Cookie: id="+cookie)),
		fetch("referer", "", "/file?token="+password, otherHost, to("302 Found", "/file")),
		fetch("token-realm", secret, "/file", otherHost, challenge("Bearer")),
		fetch("basic-realm", secret, "/file", otherHost, challenge("Basic")),
		helper,
		redirectToFile(),
	}
}

// redirectToFile leads to a file of the machine.
func redirectToFile() Fixture {
	return Fixture{Row: 18, Name: "fetch/redirect-to-file", kind: ofFetch, play: func(t *trial) error {
		return during([4]byte{127, 0, 0, 2}, func(*network, string) string {
			return response("302 Found", "", "Location: file://"+t.p.outside+"/"+canary)
		}, func(n *network) error {
			t.url = "http://" + n.first.host + "/file"
			if err := t.give(t.o.Fetch, nil); err != nil {
				return err
			}
			if strings.Contains(string(t.said), canaryText) || found(t.p.state, canaryText) {
				t.wrong = "a file of the machine was fetched"
			}
			return nil
		})
	}, judge: wrong}
}

// plantHelper makes a program that some ask for credentials, and settings that
// say so.
func plantHelper(t *trial) error {
	dir := filepath.Join(t.p.temp, "settings")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	program := canaryProgram(t.p.outside + "/" + ranMark)
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "docker-credential-evil"), []byte(program), 0o755),
		os.WriteFile(filepath.Join(dir, "git-credential-evil"), []byte(program), 0o755),
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"credsStore":"evil"}`), 0o644))
	t.env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "DOCKER_CONFIG=" + dir}
	return err
}

// linked are images with documents that say where else their parts are: who loads
// an archive has no business there.
func linked() []Fixture {
	link := func(name, document string, change func(p *parts, url string)) Fixture {
		return Fixture{Row: 18, Name: "image/" + name, kind: ofImage, refuse: true, play: func(t *trial) error {
			return during([4]byte{127, 0, 0, 2}, func(*network, string) string { return response("200 OK", string(plain())) }, func(n *network) error {
				in := archiveOf([][]byte{plain()}, func(d string, p *parts) {
					if d == "index" {
						delete(p.blobs, digest(plain()))
					}
					if d == document {
						change(p, "http://"+n.first.host+"/layer")
					}
				})
				err := t.give(t.o.Load, in)
				if len(n.first.requests()) > 0 {
					t.wrong = "an address in the image was asked"
				}
				return err
			})
		}, judge: wrong}
	}
	layer := func(p *parts) map[string]any { return p.manifest["layers"].([]any)[0].(map[string]any) }
	return []Fixture{
		link("foreign-layer", "manifest", func(p *parts, url string) {
			layer(p)["urls"], layer(p)["mediaType"] = []string{url}, mediaPrefix+"layer.nondistributable.v1.tar"
		}),
		link("layer-urls", "manifest", func(p *parts, url string) { layer(p)["urls"] = []string{url} }),
		link("manifest-urls", "index", func(p *parts, url string) {
			p.index["manifests"].([]any)[0].(map[string]any)["urls"] = []string{url}
		}),
	}
}

// wrong is the judge of what play has found.
func wrong(_ places, t *trial) string { return t.wrong }

// found tells whether a file below dir begins with a text.
func found(dir, text string) (is bool) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		is = is || err == nil && d.Type().IsRegular() && head(path, len(text)) == text
		return nil
	})
	return is
}
