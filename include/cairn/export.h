// Which names libcairn.so exports: the library is compiled with hidden visibility, the public interface is marked.
#pragma once

/// On every public class, struct and function that is not inline. Structs carry it too, so that an exception that holds one is
/// caught on the other side of the shared library's boundary.
#define CAIRN_API [[gnu::visibility("default")]]
