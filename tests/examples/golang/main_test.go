package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPutAndGet(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	request, err := http.NewRequest(http.MethodPut, server.URL+"/notes/milk", strings.NewReader("two bottles"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(request); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(server.URL + "/notes/milk")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); string(text) != "two bottles" {
		t.Errorf("got %q", text)
	}
}
