// Notes keeps notes in memory and serves them over HTTP.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/julienschmidt/httprouter"
)

var version = "unknown"

type notes struct {
	mu   sync.Mutex
	text map[string]string
}

func (n *notes) get(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, ok := n.text[p.ByName("name")]
	if !ok {
		http.Error(w, "no such note", http.StatusNotFound)
		return
	}
	io.WriteString(w, text)
}

func (n *notes) put(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text[p.ByName("name")] = string(text)
	w.WriteHeader(http.StatusNoContent)
}

func routes() http.Handler {
	n := &notes{text: map[string]string{}}
	router := httprouter.New()
	router.GET("/notes/:name", n.get)
	router.PUT("/notes/:name", n.put)
	router.GET("/healthz", func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		json.NewEncoder(w).Encode(map[string]string{"status": "ok", "version": version})
	})
	return router
}

// check answers for HEALTHCHECK.
func check(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func main() {
	listen := flag.String("listen", ":8080", "serve on this `address`")
	url := flag.String("check", "", "fetch this `URL` and exit")
	flag.Parse()
	if *url != "" {
		if err := check(*url); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Printf("notes %s on %s as %d", version, *listen, os.Getuid())
	log.Fatal(http.ListenAndServe(*listen, routes()))
}
