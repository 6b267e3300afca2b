// Posts files with Go's own client in its defaults: post URL (FILE SIGNATURE)...
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	for at := 2; at < len(os.Args); at += 2 {
		file, err := os.Open(os.Args[at])
		if err != nil {
			panic(err)
		}
		request, err := http.NewRequest("POST", os.Args[1], file)
		if err != nil {
			panic(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("X-Signature", os.Args[at+1])
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}
}
