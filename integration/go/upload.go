// Puts files by net/http, over HTTP/2 and HTTP/1.1: upload URL COOKIE FILE...
//
// UPLOAD_TO is where to connect to: Go looks names up by itself.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func put(http2 bool, url, cookie, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	size, err := file.Stat()
	if err != nil {
		return err
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, os.Getenv("UPLOAD_TO"))
		},
	}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	client := &http.Client{
		Transport: transport,
		Timeout:   120 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	request, err := http.NewRequest(http.MethodPut, url, file)
	if err != nil {
		return err
	}
	request.ContentLength = size.Size()
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	version := strings.TrimSuffix(strings.TrimPrefix(answer.Proto, "HTTP/"), ".0")
	fmt.Println(version, answer.StatusCode)
	return nil
}

func main() {
	for _, http2 := range []bool{true, false} {
		for _, name := range os.Args[3:] {
			if err := put(http2, os.Args[1], os.Args[2], name); err != nil {
				fmt.Println("failed:", err)
				os.Exit(1)
			}
		}
	}
}
