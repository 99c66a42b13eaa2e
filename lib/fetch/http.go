package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"docksmith/lib/dockerfile"
)

// How long a server may be silent. A download as a whole may take any time.
const (
	dialTime   = 30 * time.Second
	headerTime = 60 * time.Second
	idleTime   = 60 * time.Second
)

const maxRedirects = 10

// newClient makes a client that goes where an address may lead: by http or
// https, never to link-local addresses, through the proxies of the environment.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialTime, Control: refuseAddress}
	return &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    dialTime,
			ResponseHeaderTimeout:  headerTime,
			MaxResponseHeaderBytes: 1 << 20,
			// The bytes are wanted as they are kept there, which is what their
			// checksum is of: a server that compresses, or says that its
			// .tar.gz is compressed, must not make a difference.
			DisableCompression: true,
			DisableKeepAlives:  true, // a client makes one request
		},
	}
}

// refuseAddress is asked for every connection, after names became addresses:
// the services of a cloud that give away credentials have link-local ones.
func refuseAddress(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	return checkHost(host)
}

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// metadata are addresses of such services that are not link-local.
	metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192")}
)

func checkHost(host string) error {
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil {
		return nil // a name
	}
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	refused := ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsMulticast()
	for _, m := range metadata {
		refused = refused || ip == m
	}
	if refused {
		return fmt.Errorf("the address %s is not fetched from: it is link-local or of a metadata service", ip)
	}
	return nil
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return fmt.Errorf("redirected to a %s URL, which is not followed", r.URL.Scheme)
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	// Where it came from, perhaps with a token in its query, is nobody's business.
	r.Header.Del("Referer")
	if via[0].URL.Scheme == "https" && r.URL.Scheme == "http" {
		r.Header.Del("Authorization")
	}
	return checkHost(r.URL.Hostname())
}

// answer is the response to a request, its body not read yet.
type answer struct {
	r         *http.Response
	unchanged bool // what the record says is still right
	cancel    context.CancelCauseFunc
	idle      *time.Timer
}

var errIdle = fmt.Errorf("nothing came for %v", idleTime)

// get asks for a URL, or whether what old says of it still holds.
func get(ctx context.Context, u *url.URL, old *record) (*answer, error) {
	if err := checkHost(u.Hostname()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	a := &answer{cancel: cancel}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		a.close()
		return nil, err
	}
	request.Header.Set("User-Agent", "docksmith")
	request.Header.Set("Accept-Encoding", "identity")
	switch {
	case old.ETag != "":
		request.Header.Set("If-None-Match", old.ETag)
	case old.LastModified != "":
		request.Header.Set("If-Modified-Since", old.LastModified)
	}
	if a.r, err = newClient().Do(request); err != nil {
		a.close()
		return nil, err
	}
	if err := a.check(old); err != nil {
		a.close()
		return nil, err
	}
	a.idle = time.AfterFunc(idleTime, func() { cancel(errIdle) })
	return a, nil
}

func (a *answer) check(old *record) error {
	status := a.r.StatusCode
	switch {
	case status == http.StatusNotModified && (old.ETag != "" || old.LastModified != ""):
		a.unchanged = true
	case status < 200 || status > 299 || status == http.StatusPartialContent || status == http.StatusNoContent:
		return &StatusError{Status: status, Host: a.r.Request.URL.Host}
	// Some servers send it all again, under the same strong tag.
	case old.ETag != "" && !strings.HasPrefix(old.ETag, "W/") && a.header("ETag") == old.ETag:
		a.unchanged = true
	}
	return nil
}

// StatusError is the answer of a server that does not give the file.
type StatusError struct {
	Status int
	Host   string // that answered, after redirects
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s answers %d %s", e.Host, e.Status, http.StatusText(e.Status)))
}

func (a *answer) header(name string) string { return a.r.Header.Get(name) }

// length is the announced size, 0 if there is none.
func (a *answer) length() int64 { return max(a.r.ContentLength, 0) }

// read reads the body, and gives up when nothing comes for long.
func (a *answer) read(p []byte) (int, error) {
	n, err := a.r.Body.Read(p)
	if err != nil && err != io.EOF {
		if cause := context.Cause(a.r.Request.Context()); cause != nil {
			err = cause
		}
	}
	a.idle.Reset(idleTime)
	return n, err
}

func (a *answer) close() {
	if a.idle != nil {
		a.idle.Stop()
	}
	a.cancel(nil)
	if a.r != nil {
		a.r.Body.Close()
	}
}

// finalRepository follows the redirects of a repository's address, so that git,
// which knows nothing of our rules, need not follow any.
func finalRepository(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", bare(err)
	}
	const suffix = "/info/refs"
	ask := *u
	ask.Path, ask.RawPath, ask.RawQuery = strings.TrimSuffix(u.Path, "/")+suffix, "", "service=git-upload-pack"
	a, err := get(ctx, &ask, &record{})
	if err != nil {
		if status, ok := errors.AsType[*StatusError](err); ok && status.Status == http.StatusUnauthorized {
			return "", fmt.Errorf("%s wants credentials, or there is no such repository", dockerfile.RedactURLs(u.Host))
		}
		return "", bare(err)
	}
	defer a.close()
	last := *a.r.Request.URL
	if !strings.HasSuffix(last.Path, suffix) {
		return "", errors.New("redirected to something that is no repository")
	}
	last.Path, last.RawPath, last.RawQuery, last.Fragment = strings.TrimSuffix(last.Path, suffix), "", "", ""
	if last.Host == u.Host && (last.Scheme == u.Scheme || last.Scheme == "https") {
		last.User = u.User
	} else {
		last.User = nil // not for others
	}
	return last.String(), nil
}
