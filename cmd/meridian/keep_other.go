//go:build !linux

package main

func orphans() {}
