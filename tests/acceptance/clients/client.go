// Go's net/http in its defaults: MODE, then URL, "Name: value" and FILE of each request, in turn.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for i := 2; i+2 < len(os.Args); i += 3 {
		data, err := os.ReadFile(os.Args[i+2])
		if err != nil {
			panic(err)
		}
		var body io.Reader = bytes.NewReader(data)
		if os.Args[1] == "chunked" {
			body = io.MultiReader(body)
		}
		request, err := http.NewRequest("POST", os.Args[i], body)
		if err != nil {
			panic(err)
		}
		name, value, _ := strings.Cut(os.Args[i+1], ": ")
		request.Header.Set(name, value)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		said, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, string(said))
	}
}
