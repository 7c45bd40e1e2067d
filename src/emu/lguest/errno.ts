/** Error numbers of /dev/lguest, negative as system calls return them; the values are Linux's (reference 8.1, 8.2). */
export const EPERM = -1
export const ENOENT = -2
export const EINTR = -4
export const EBADF = -9
export const EAGAIN = -11
export const ENOMEM = -12
export const EFAULT = -14
export const EBUSY = -16
export const EINVAL = -22
export const ERESTART = -85
