//go:build !linux

package main

func settleDown() {}
