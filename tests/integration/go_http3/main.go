// Command go_http3 speaks HTTP/3 by quic-go, for tests: it asks for each line of its input, "METHOD URL BODY", and
// prints what comes as lines of JSON, while streams go on.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/quic-go/quic-go/http3"
)

type said struct {
	Number int    `json:"number"`
	Event  string `json:"event"`
	Text   string `json:"text"`
}

var printing sync.Mutex

func say(number int, event, text string) {
	printing.Lock()
	defer printing.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(said{number, event, text}); err != nil {
		panic(err)
	}
}

func ask(client *http.Client, number int, words []string, key string) {
	request, err := http.NewRequest(words[0], words[1], strings.NewReader(words[2]))
	if err != nil {
		say(number, "failed", err.Error())
		return
	}
	request.Header.Set("X-API-Key", key)
	response, err := client.Do(request)
	if err != nil {
		say(number, "failed", err.Error())
		return
	}
	defer response.Body.Close()
	say(number, "status", fmt.Sprintf("%s %d", response.Proto, response.StatusCode))
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		say(number, "line", lines.Text())
	}
	if err := lines.Err(); err != nil {
		say(number, "failed", err.Error())
		return
	}
	say(number, "end", "")
}

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	// A client that just vanished would be missed by its idle timeout only.
	defer transport.Close()
	client := &http.Client{Transport: transport}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	for number := 0; input.Scan(); number++ {
		words := strings.SplitN(input.Text(), " ", 3)
		go ask(client, number, words, os.Args[2])
	}
}
